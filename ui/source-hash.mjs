// A Vite plugin that writes which source the built files are of: a SHA-256 over the names and contents of the files that
// decide the result, in the order of their names. The Go test in pkg/ui computes the same.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function sourceFiles(root) {
  const found = ['index.html', 'package.json', 'package-lock.json', 'vite.config.ts'];
  for (const e of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
    if (e.isFile()) found.push(join(e.parentPath ?? e.path, e.name).slice(join(root, '/').length));
  }
  return found.map((f) => f.replaceAll('\\', '/')).sort();
}

export function sourceHash(root) {
  const h = createHash('sha256');
  for (const f of sourceFiles(root)) h.update(f + '\0').update(readFileSync(join(root, f))).update('\0');
  return h.digest('hex');
}

export default function plugin() {
  let config;
  return {
    name: 'source-hash',
    apply: 'build',
    configResolved(c) { config = c; },
    closeBundle() { writeFileSync(join(config.root, config.build.outDir, 'source.sha256'), sourceHash(config.root) + '\n'); },
  };
}
