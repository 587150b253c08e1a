// What the page knows of LogQL: whether a text is a metric query, its selector, and how to add a filter to it. The grammar
// is the one that Grafana's editor uses, so both accept the same.
import { parser, LogQL, MetricExpr, Selector, LogExpr, PipelineExpr } from '@grafana/lezer-logql';
import type { SyntaxNode, Tree } from '@lezer/common';

export const parse = (text: string): Tree => parser.parse(text);

function find(tree: Tree, type: number): SyntaxNode | null {
  let found: SyntaxNode | null = null;
  tree.iterate({ enter: (n) => { if (!found && n.type.id === type) { found = n.node; return false; } return !found; } });
  return found;
}

export function isMetric(text: string): boolean {
  const m = find(parse(text), MetricExpr);
  return m !== null && m.parent?.parent?.type.id === LogQL;
}

// selectorOf returns the first selector of a query, or null.
export function selectorOf(text: string): string | null {
  const n = find(parse(text), Selector);
  return n ? text.slice(n.from, n.to) : null;
}

// logPart returns the selector and pipeline of a query: of a metric query, the first that it aggregates.
export function logPart(text: string): string | null {
  const n = find(parse(text), LogExpr);
  return n ? text.slice(n.from, n.to) : null;
}

export const quote = (value: string) => JSON.stringify(value);

// addMatcher puts name op "value" into every selector of the query.
export function addMatcher(text: string, name: string, op: string, value: string): string {
  const at: SyntaxNode[] = [];
  parse(text).iterate({ enter: (n) => { if (n.type.id === Selector) at.push(n.node); } });
  if (at.length === 0) return `{${name}${op}${quote(value)}}`;
  const matcher = `${name}${op}${quote(value)}`;
  for (const n of at.reverse()) {
    const body = text.slice(n.from + 1, n.to - 1).trim();
    if (body.split(',').some((m) => m.trim() === matcher)) continue;
    text = text.slice(0, n.from) + '{' + (body ? body.replace(/,\s*$/, '') + ', ' : '') + matcher + '}' + text.slice(n.to);
  }
  return text;
}

// addStage puts a stage behind the pipeline of the first log expression of the query.
export function addStage(text: string, stage: string): string {
  const tree = parse(text);
  const n = find(tree, PipelineExpr) ?? find(tree, Selector);
  return n ? `${text.slice(0, n.to)} ${stage}${text.slice(n.to)}` : `${text} ${stage}`;
}

export const addFieldFilter = (text: string, name: string, op: string, value: string) => addStage(text, `| ${name}${op}${quote(value)}`);

// firstError returns where the parser first stumbles, or null.
export function firstError(text: string): { from: number; to: number } | null {
  let found: { from: number; to: number } | null = null;
  parse(text).iterate({ enter: (n) => { if (!found && n.type.isError) found = { from: n.from, to: n.to }; return !found; } });
  return found;
}
