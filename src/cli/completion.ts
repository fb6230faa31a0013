// `normpool completion`: scripts that make shells complete sub-commands and options, from what the program itself knows.
import { Argument, type Command } from "commander";
import type { AddCommand } from "./sub-command.js";
import { print } from "./terminal.js";

export function addCompletionCommand(addCommand: AddCommand, program: Command): void {
  addCommand("completion", ['eval "$(normpool completion bash)"', "normpool completion fish | source"])
    .summary("a script for a shell's completion")
    .description(
      "Print a script that makes a shell complete sub-commands, options and files. The examples do it for one session; the same line in ~/.bashrc, or in ~/.config/fish/config.fish, does it for all.",
    )
    .addArgument(new Argument("<shell>", "which shell it is for").choices(Object.keys(SCRIPTS)))
    .action((shell: keyof typeof SCRIPTS) => print(SCRIPTS[shell](program)));
}

const SCRIPTS = {
  bash,
  // Its own emulation of bash.
  zsh: (program: Command) => `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`,
  fish,
} as const;

const flagsOf = (command: Command) => [...command.options.map(({ long }) => long as string), "--help"];

/** What comes after a sub-command, where it is no file. */
const choicesOf = (command: Command) => [
  ...command.commands.map((own) => own.name()),
  ...command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
];

function bash(program: Command): string {
  const cases = program.commands.map((command) => {
    const choices = choicesOf(command).join(" ");
    return `    ${command.name()}) words="${flagsOf(command).join(" ")}" choices="${choices}" ;;`;
  });
  return `_normpool() {
  local words choices word="\${COMP_WORDS[COMP_CWORD]}"
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${program.commands.map((command) => command.name()).join(" ")} --help --version" -- "$word"))
  elif [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  elif [ -n "$choices" ] && [ "$COMP_CWORD" -eq 2 ]; then
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
  else
    local IFS=$'\\n' # names may have spaces
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _normpool normpool`;
}

function fish(program: Command): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  return program.commands
    .flatMap((command) => [
      `complete -c normpool -n __fish_use_subcommand -a ${command.name()} -d ${quoted(command.summary())}`,
      ...choicesOf(command).map(
        (choice) => `complete -c normpool -f -n '__fish_seen_subcommand_from ${command.name()}' -a ${choice}`,
      ),
      ...command.options.map(
        ({ long, description }) =>
          `complete -c normpool -n '__fish_seen_subcommand_from ${command.name()}' -l ${(long as string).slice(2)} -d ${quoted(description)}`,
      ),
    ])
    .join("\n");
}
