import type { Entry } from '../api';
import { levelColor, levelOf } from '../level';
import { localNs } from '../time';

export interface RowActions {
  filter: (name: string, op: '=' | '!=', value: string, own: boolean) => void;
  column: (name: string) => void;
  context: (e: Entry) => void;
  link: (e: Entry) => void;
}

interface Props { entry: Entry; open: boolean; wrap: boolean; time: boolean; columns: string[]; marked: boolean; toggle: () => void; actions: RowActions }

// valueOf returns what an entry has under a name, wherever it came from.
export const valueOf = (e: Entry, name: string) => e.meta.parsed?.[name] ?? e.meta.structuredMetadata?.[name] ?? e.labels[name] ?? '';

// pretty returns the line as indented JSON, or null if it is not an object.
export function pretty(line: string): string | null {
  const text = line.trim();
  if (!text.startsWith('{')) return null;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return null; }
}

export function LogRow({ entry, open, wrap, time, columns, marked, toggle, actions }: Props) {
  const level = levelOf(entry);
  return (
    <div class={`row${open ? ' open' : ''}${marked ? ' marked' : ''}`} style={{ '--level': levelColor[level] }}>
      <div class={`line${wrap || open ? ' wrap' : ''}`} onClick={() => { if (!getSelection()?.toString()) toggle(); }}>
        <button class="mark" aria-label={open ? 'Hide details' : 'Show details'} aria-expanded={open} title={level} onClick={(e) => { e.stopPropagation(); toggle(); }} />
        {time && <time title={entry.ts}>{localNs(entry.ts)}</time>}
        {columns.map((c) => <span class="cell" key={c} title={c}>{valueOf(entry, c)}</span>)}
        {columns.length === 0 || open ? <code>{entry.line || ' '}</code> : <code class="rest">{entry.line}</code>}
      </div>
      {open && <Details entry={entry} columns={columns} actions={actions} />}
    </div>
  );
}

function Details({ entry, columns, actions }: { entry: Entry; columns: string[]; actions: RowActions }) {
  const doc = pretty(entry.line);
  const group = (title: string, set: Record<string, string> | undefined, own: boolean) => set && Object.keys(set).length > 0 && (
    <>
      <h4>{title}</h4>
      <table class="fields"><tbody>
        {Object.entries(set).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => (
          <tr key={k}>
            <td class="acts">
              <button title="Only lines with this value" aria-label={`Filter ${k}=${v}`} onClick={() => actions.filter(k, '=', v, own)}>+</button>
              <button title="Only lines without this value" aria-label={`Filter ${k}!=${v}`} onClick={() => actions.filter(k, '!=', v, own)}>−</button>
              <button title="Show as a column" aria-label={`Column ${k}`} class={columns.includes(k) ? 'on' : ''} onClick={() => actions.column(k)}>▥</button>
            </td>
            <th>{k}</th><td class="value">{v}</td>
          </tr>
        ))}
      </tbody></table>
    </>
  );
  return (
    <div class="details">
      <div class="tools">
        <button onClick={() => actions.context(entry)}>Context</button>
        <button onClick={() => actions.link(entry)}>Copy link</button>
        <button onClick={() => navigator.clipboard?.writeText(entry.line)}>Copy line</button>
        <span class="hint">{entry.ts} ns</span>
      </div>
      {doc && <pre class="json">{doc}</pre>}
      {group('Labels', entry.labels, true)}
      {group('Structured metadata', entry.meta.structuredMetadata, false)}
      {group('Parsed fields', entry.meta.parsed, false)}
    </div>
  );
}
