import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';
import { packageInfo } from '../../lib/package.js';

const { root } = packageInfo();
const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  files: readonly string[];
};
const inFolder = (folder: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...inFolder('docs'),
  ...inFolder('docs/guides'),
];

/** Headings as the anchors that GitHub and npm make of them. */
function anchors(page: string): Set<string> {
  const headings = readFileSync(join(root, page), 'utf8').matchAll(/^#+ (.+)$/gm);
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
  return new Set([...headings].map(([, heading]) => slug(heading)));
}

const links = pages.flatMap((page) => {
  const text = readFileSync(join(root, page), 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link)
    .filter((link) => !/^\w+:/.test(link))
    .map((link) => {
      const [path, anchor] = link.split('#');
      return { page, link, target: path === '' ? page : normalize(join(dirname(page), path)), anchor };
    });
});

it('links of README and docs lead to files and headings that exist', () => {
  expect(links.length).toBeGreaterThan(50);
  const broken = links.filter(
    ({ target, anchor }) =>
      !existsSync(join(root, target)) ||
      (anchor !== undefined && target.endsWith('.md') && !anchors(target).has(anchor)),
  );
  expect(broken.map(({ page, link }) => `${page}: ${link}`)).toEqual([]);
});

it('links of the packed README lead to packed files', () => {
  const packed = (target: string) =>
    files.some((pattern) => {
      const [before] = pattern.split('*');
      return pattern === target || target.startsWith(pattern.includes('*') ? before : `${pattern}/`);
    });
  const missing = links.filter(({ page, target }) => page === 'README.md' && !packed(target));
  expect(missing.map(({ link }) => link)).toEqual([]);
});
