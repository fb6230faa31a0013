// Which queue: options of submit, worker and status.
import { type Command, Option } from "commander";

export interface QueueArguments {
  readonly queue: string;
  readonly queueName?: string;
}

export function addQueueOptions(command: Command): Command {
  return command
    .addOption(
      // Not parsed here: the error would say what came, with the password.
      new Option(
        "--queue <url>",
        "the queue's server: redis://, rediss://, postgres:// or postgresql:// (required; in the environment others do not see its password)",
      )
        .env("NORMPOOL_QUEUE")
        .makeOptionMandatory(),
    )
    .option("--queue-name <name>", 'the queue on that server (default: "normpool")');
}
