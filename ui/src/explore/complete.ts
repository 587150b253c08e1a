// Completion of labels, values, functions and stages. What fits follows from the text before the cursor.
import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { detectedFields, labelNames, labelValues } from '../api';
import { logPart } from '../logql';

const call = (label: string, detail: string): Completion => ({ label, detail, type: 'function', apply: label + '(' });
const range = 'count_over_time rate bytes_over_time bytes_rate rate_counter sum_over_time avg_over_time min_over_time max_over_time first_over_time last_over_time stddev_over_time stdvar_over_time quantile_over_time absent_over_time'
  .split(' ').map((n) => call(n, 'over a range'));
const vector = 'sum avg min max count stddev stdvar topk bottomk sort sort_desc'.split(' ').map((n) => call(n, 'of series'));
const other = [call('label_replace', 'new label by a regular expression'), call('vector', 'a number as a series')];
const stages: Completion[] = [
  ['json', 'labels from JSON'], ['logfmt', 'labels from key=value'], ['pattern', 'labels by a pattern'], ['regexp', 'labels by named groups'], ['unpack', 'what promtail packed'],
  ['line_format', 'new text of the line'], ['label_format', 'rename or compute labels'], ['drop', 'leave labels out'], ['keep', 'keep only these labels'],
  ['decolorize', 'no colour codes'], ['unwrap', 'a label as number'],
].map(([label, detail]) => ({ label, detail, type: 'keyword' }));
const modifiers: Completion[] = ['by', 'without', 'on', 'ignoring', 'group_left', 'group_right', 'offset', 'bool', 'and', 'or', 'unless'].map((label) => ({ label, type: 'keyword' }));

const text = (label: string, detail = ''): Completion => ({ label, detail, type: 'text' });

export interface Scope { start: number; end: number }

// Recent answers, so that typing does not ask for the same again.
const memory = new Map<string, Promise<any>>();
function once<T>(key: string, ask: () => Promise<T>): Promise<T> {
  let p = memory.get(key) as Promise<T> | undefined;
  if (!p) {
    if (memory.size > 100) memory.clear();
    p = ask();
    p.catch(() => memory.delete(key));
    memory.set(key, p);
    setTimeout(() => memory.delete(key), 30e3);
  }
  return p;
}

// openSelector returns the text after the last "{" that is not closed before the cursor, or null.
function openSelector(before: string): string | null {
  let open = -1, quote = '';
  for (let i = 0; i < before.length; i++) {
    const c = before[i];
    if (quote) {
      if (c === '\\' && quote === '"') i++;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === '`') quote = c;
    else if (c === '{') open = i;
    else if (c === '}') open = -1;
  }
  return open < 0 ? null : before.slice(open + 1);
}

// others are the complete matchers of a selector that is being written; they narrow down what is offered.
function others(inside: string): string {
  const done = inside.match(/[\w]+\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*(?=,)/g) ?? [];
  return done.length ? `{${done.join(',')}}` : '';
}

export function completion(scope: () => Scope) {
  return async (ctx: CompletionContext): Promise<CompletionResult | null> => {
    const before = ctx.state.doc.sliceString(0, ctx.pos);
    const { start, end } = scope();
    const inside = openSelector(before);
    if (inside !== null) {
      const value = /([A-Za-z_][\w]*)\s*(=~|!~|!=|=)\s*"([^"]*)$/.exec(inside);
      if (value) {
        const query = others(inside);
        const values = await once(`v ${value[1]} ${query}`, () => labelValues(value[1], start, end, query));
        return { from: ctx.pos - value[3].length, options: values.slice(0, 1000).map((v) => ({ ...text(v), apply: JSON.stringify(v).slice(1, -1) })), validFor: /^[^"]*$/ };
      }
      const name = /(?:^|,)\s*([A-Za-z_]?\w*)$/.exec(inside);
      if (!name) return null;
      const query = others(inside);
      const names = await once(`n ${query}`, () => labelNames(start, end, query));
      return { from: ctx.pos - name[1].length, options: names.map((n) => ({ ...text(n), type: 'property', apply: n + '="' })), validFor: /^\w*$/ };
    }
    const word = ctx.matchBefore(/[A-Za-z_]\w*/);
    const from = word ? word.from : ctx.pos;
    const left = before.slice(0, from).trimEnd();
    if (left.endsWith('|')) {
      if (!word && !ctx.explicit && !before.endsWith(' ')) return null;
      const query = logPart(before.slice(0, before.lastIndexOf('|')));
      const fields = query ? await once(`f ${query}`, () => detectedFields(query, start, end)).catch(() => []) : [];
      return { from, options: [...stages, ...fields.map((f) => ({ ...text(f.label, f.type), type: 'property' }))], validFor: /^\w*$/ };
    }
    const grouping = /\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*$/.test(left + '(') && /\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*$/.test(before);
    if (grouping) {
      const names = await once('n ', () => labelNames(start, end));
      return { from, options: names.map((n) => ({ ...text(n), type: 'property' })), validFor: /^\w*$/ };
    }
    if (!word && !ctx.explicit) return null;
    return { from, options: [...range, ...vector, ...other, ...modifiers], validFor: /^\w*$/ };
  };
}
