// Validates Kubernetes objects (JSON, one a line, on stdin) with the validators that kubernetes-models made of Kubernetes' own
// schemas, and, since those know no forbidden keys, with TypeScript: a literal may have no key that its type lacks.
// Prints a line for each fault. node validate.mjs FOLDER-OF-node_modules
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createInterface } from 'node:readline';

const folder = process.argv[2];
const require = createRequire(join(folder, 'package.json'));
const ts = require('typescript');
const CRDS = { 'monitoring.coreos.com': '@kubernetes-models/prometheus-operator' };

const objects = [];
for await (const line of createInterface({ input: process.stdin })) objects.push(JSON.parse(line));

// In the folder of the packages, so that the compiler finds them.
const work = mkdtempSync(join(folder, 'check-'));
let faults = 0;
const tell = (text) => { console.log(text); faults += 1; };
try {
  const files = [];
  for (const [index, object] of objects.entries()) {
    const [group, version] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['', object.apiVersion];
    const name = CRDS[group] ?? 'kubernetes-models';
    const path = [name, group, version, object.kind].filter(Boolean).join('/');
    const what = `${object.kind} ${object.metadata?.name}`;
    const root = join(folder, 'node_modules', path) + '.js';
    try {
      const model = (await import(pathToFileURL(root)))[object.kind];
      new model(object).validate();
    } catch (error) {
      tell(`${what}: ${error.message}`);
    }
    const file = join(work, `object${index}.ts`);
    writeFileSync(file, `import type { I${object.kind} } from "${path}";\nexport const checked: I${object.kind} = ${JSON.stringify(object, null, 1)};\n`);
    files.push([file, what]);
  }
  const program = ts.createProgram(files.map(([file]) => file), {
    strict: true, noEmit: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022, types: [],
  });
  const names = new Map(files);
  for (const fault of ts.getPreEmitDiagnostics(program)) {
    const file = fault.file?.fileName;
    const text = ts.flattenDiagnosticMessageText(fault.messageText, ' ');
    tell(`${names.get(file) ?? file ?? ''}: ${text.slice(0, 400)}`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(faults ? 1 : 0);
