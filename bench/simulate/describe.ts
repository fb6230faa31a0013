// The model's numbers as text.
import { formatBytes, type SectionText } from "../text.js";
import type { Measured } from "./constants.js";
import { type Held, totalOf } from "./hold.js";
import type { JobRun, Limit } from "./job.js";
import { PART_BYTES, QUEUES, type Setting, type Study } from "./study.js";

const GB = 1e9;

export function describeConstants(of: string, { costs, shared, startSeconds }: Measured): SectionText {
  const rate = (bytes: number) => `${(bytes / GB).toFixed(2)} GB/s`;
  const milliseconds = (seconds: number) => `${(seconds * 1000).toFixed(2)} ms`;
  const ofMoments: [string, string][] = [
    ["moments, one process: bytes read", rate(costs.momentsRate)],
    ["moments, all cores", rate(shared.moments)],
    ["a part of moments, beside its bytes", milliseconds(costs.momentsPartSeconds)],
    ["merge: bytes of partials", rate(costs.mergeRate)],
    ["merge, of each part", milliseconds(costs.mergePartSeconds)],
    ["merge, beside that", milliseconds(costs.mergeSeconds)],
  ];
  const rows: [string, string][] = [
    ["plan", milliseconds(costs.planSeconds)],
    ...(costs.momentsRate > 0 ? ofMoments : []),
    ["apply, one process: bytes read and written", rate(costs.applyRate)],
    ["apply, all cores", rate(shared.apply)],
    ["a part of apply, beside its bytes", milliseconds(costs.applyPartSeconds)],
    ["finish, of each part", milliseconds(costs.finishPartSeconds)],
    ["finish, beside that", milliseconds(costs.finishSeconds)],
    ["start of a process that finds its part done", milliseconds(startSeconds)],
  ];
  return { title: "Constants", notes: [`measured on small files, ${of}.`], tables: [{ rows: [["", ""], ...rows] }] };
}

export function describeHeld({ name, bytes, partBytes, rounds, rows }: Held): SectionText {
  const stages = ["plan", "moments", "merge", "apply", "finish"] as const;
  const milliseconds = (seconds: number) => (seconds * 1000).toFixed(0);
  const lines = rows.flatMap(({ processes, predicted, measured }) => [
    [
      `${processes}, the model`,
      ...stages.map((stage) => milliseconds(predicted[stage])),
      milliseconds(totalOf(predicted)),
      "",
    ],
    [
      `${processes}, measured`,
      ...stages.map((stage) => milliseconds(measured[stage])),
      milliseconds(totalOf(measured)),
      percent(totalOf(predicted) / totalOf(measured) - 1),
    ],
  ]);
  return {
    title: "The model beside this machine",
    notes: [
      `${name}, ${formatBytes(bytes)} float32 in parts of ${formatBytes(partBytes)} by processes of one thread, milliseconds, medians of ${rounds} rounds.`,
    ],
    tables: [{ rows: [["processes", ...stages, "all", "the model's error"], ...lines] }],
  };
}

export function describeStudy(result: Study, setting: Setting): SectionText[] {
  const { layers, merges, parts, failures } = result;
  return [
    {
      title: "Scale",
      notes: [describeSetting(setting), "Parts of 256 MiB, or as large as 1,000,000 parts have to be."],
      tables: layers.map(({ name, rows }) => ({
        note: name,
        rows: [
          [
            "input",
            "machines",
            "parts",
            "partials",
            "moments",
            "merge",
            "apply",
            "finish",
            "all",
            "limit",
            "its share",
          ],
          ...rows.map(({ bytes, machines, run }) => [
            formatSize(bytes),
            `${machines}`,
            `${run.parts}`,
            run.partialsBytes === 0 ? "none" : formatSize(run.partialsBytes),
            ...(["moments", "merge", "apply", "finish"] as const).map((stage) => stageTime(run, stage)),
            formatTime(run.seconds),
            run.limit,
            percent(run.share),
          ]),
        ],
      })),
    },
    {
      title: "Merge",
      notes: [
        "the largest input on the most machines. One process reads all partials in their order. It would take half of the time where all bytes moved at the last column's speed.",
      ],
      tables: [
        {
          rows: [
            ["", "partials", "merge", "of all", "half at"],
            ...merges.map(({ layer, partialsBytes, seconds, share, halfAt }) => [
              layer,
              formatSize(partialsBytes),
              formatTime(seconds),
              percent(share),
              `${(halfAt / GB).toFixed(0)} GB/s`,
            ]),
          ],
        },
      ],
    },
    {
      title: "Size of a part",
      notes: [
        "BatchNorm of planes: time, and what takes most of it. None where there would be more than 1,000,000 parts. The second table is how much input",
        "a queue can give a second: machines and storage that read faster wait for it.",
      ],
      tables: [
        {
          rows: [
            ["queue", "input", "machines", ...PART_BYTES.map(formatSize)],
            ...parts.map(({ queue, bytes, machines, runs }) => [
              queue,
              formatSize(bytes),
              `${machines}`,
              ...runs.map((run) => (run === null ? "none" : `${formatTime(run.seconds)} (${SHORT[run.limit]})`)),
            ]),
          ],
        },
        {
          rows: [
            ["queue", "parts a second", ...PART_BYTES.map(formatSize)],
            ...(["redis", "postgres"] as const).map((queue) => [
              queue,
              `${QUEUES[queue]}`,
              ...PART_BYTES.map((bytes) => `${((QUEUES[queue] * bytes) / GB).toFixed(0)} GB/s`),
            ]),
          ],
        },
      ],
    },
    {
      title: "Machines that are lost",
      notes: [
        "the largest input on the most machines, by how long a machine lives: time, and parts that were begun and lost.",
      ],
      tables: [
        {
          rows: [
            ["a machine lives", ...PART_BYTES.slice(2).flatMap((bytes) => [`parts of ${formatSize(bytes)}`, "lost"])],
            ...failures.map(({ hours, runs }) => [
              hours === null ? "for ever" : `${hours} h`,
              ...runs.flatMap(({ seconds, lostParts }) => [formatTime(seconds), `${lostParts}`]),
            ]),
          ],
        },
      ],
    },
  ];
}

const SHORT: Readonly<Record<Limit, string>> = {
  machines: "machines",
  storage: "storage",
  queue: "queue",
  merge: "merge",
  finish: "finish",
  "start and end of parts": "parts' ends",
  "too few parts": "few parts",
};

function describeSetting({ costs: { moments }, storage, queueRate, failures }: Setting): string {
  const rates = [moments.momentsRate, moments.applyRate].map((rate) => (rate / GB).toFixed(2)).join(" and ");
  const queue = Number.isFinite(queueRate) ? `a queue that gives ${queueRate} parts a second` : "no queue";
  const lost = failures === null ? "never lost" : `lost after ${failures.everySeconds / 3600} h on average`;
  return `machines that move ${rates} GB/s in moments and apply, storage that moves ${storage / GB} GB/s for all, ${queue}; a machine is ${lost}.`;
}

function stageTime({ stages }: JobRun, name: string): string {
  const found = stages.find((stage) => stage.name === name);
  return found === undefined ? "" : formatTime(found.seconds);
}

function formatTime(seconds: number): string {
  if (seconds < 1) return `${seconds.toFixed(3)} s`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  if (seconds < 6000) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 100 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}

function formatSize(bytes: number): string {
  for (const [unit, size] of [
    ["PiB", 2 ** 50],
    ["TiB", 2 ** 40],
  ] as const) {
    if (bytes >= size) return `${Number.isInteger(bytes / size) ? bytes / size : (bytes / size).toFixed(1)} ${unit}`;
  }
  return formatBytes(bytes);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
