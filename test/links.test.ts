// Links of the documents. README.md is read on the registry too, where a path into the repository leads nowhere.
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT, readDocument } from "./programs.js";

const REPOSITORY = "https://github.com/normpool/normpool";
const FILES = [`${REPOSITORY}/blob/main/`, "https://raw.githubusercontent.com/normpool/normpool/main/"];
const GUIDES = readdirSync(join(ROOT, "docs")).flatMap((name) => (name.endsWith(".md") ? [`docs/${name}`] : []));

describe("in README.md", () => {
  test.each(linksOf("README.md"))("%s leads somewhere on the registry too", (link) => {
    expect(link).toMatch(/^(https:\/\/|#)/);
    const base = FILES.find((start) => link.startsWith(start));
    if (base !== undefined) expectFile("README.md", link.slice(base.length));
    else if (link.startsWith("#")) expectFile("README.md", `README.md${link}`);
    // Of this repository only files on main are linked, as above.
    else expect(link.toLowerCase()).not.toMatch(/normpool\/normpool\//);
  });

  test("pictures come from where they are served as pictures", () => {
    const pictures = [...readDocument("README.md").matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)].map(([, link]) => link);
    expect(pictures).toHaveLength(2);
    for (const link of pictures) expect(link).toContain("https://raw.githubusercontent.com/");
  });
});

describe.each(GUIDES)("in %s", (document) => {
  test.each(linksOf(document).filter((link) => !link.startsWith("https://")))("%s is there", (link) => {
    const [path, anchor] = link.split("#");
    const file = path === "" ? document : join(dirname(document), path ?? "");
    expectFile(document, anchor === undefined ? file : `${file}#${anchor}`);
  });
});

test("package.json says where the repository, its page and its issues are", () => {
  const { repository, homepage, bugs } = JSON.parse(readDocument("package.json")) as Record<string, unknown>;
  expect([repository, homepage, bugs]).toEqual([
    { type: "git", url: `git+${REPOSITORY}.git` },
    `${REPOSITORY}#readme`,
    `${REPOSITORY}/issues`,
  ]);
});

/** Links and pictures of a document, outside its code. */
function linksOf(document: string): string[] {
  const prose = readDocument(document).replace(/^```.*?^```$/gms, "");
  return [...new Set([...prose.matchAll(/\]\(([^)\s]*)\)/g)].map(([, link = ""]) => link))];
}

/** Holds that a path in the repository exists, and its heading if it names one. */
function expectFile(document: string, target: string): void {
  const [path = "", anchor] = target.split("#");
  expect(existsSync(join(ROOT, path)), `${document} links to ${path}`).toBe(true);
  if (anchor === undefined) return;
  const headings = [...readDocument(path).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
  expect(headings, `${document} links to #${anchor} of ${path}`).toContain(anchor);
}
