// LogQL in CodeMirror: colours and errors from the grammar.
import { HighlightStyle, LRLanguage, LanguageSupport, syntaxHighlighting } from '@codemirror/language';
import { linter, type Diagnostic } from '@codemirror/lint';
import { styleTags, tags as t } from '@lezer/highlight';
import { parser } from '@grafana/lezer-logql';
import { firstError } from '../logql';
import { LokiError, request } from '../api';

const highlighting = styleTags({
  'Identifier LabelName GroupingLabel': t.labelName,
  String: t.string,
  'Number Duration Bytes': t.number,
  LineComment: t.comment,
  'Json Logfmt Unpack Pattern Regexp Unwrap LabelFormat LineFormat Decolorize Drop Keep ParserFlag': t.keyword,
  'By Without On Ignoring GroupLeft GroupRight Bool Offset And Or Unless': t.modifier,
  'Sum Avg Count Max Min Stddev Stdvar Topk Bottomk Sort Sort_Desc LabelReplace Vector Ip': t.function(t.variableName),
  'CountOverTime Rate RateCounter BytesOverTime BytesRate AvgOverTime SumOverTime MinOverTime MaxOverTime StddevOverTime StdvarOverTime QuantileOverTime FirstOverTime LastOverTime AbsentOverTime BytesConv DurationConv DurationSecondsConv':
    t.function(t.variableName),
  'PipeExact PipeMatch PipePattern Nre Neq Npa Re Eq Eql Gtr Gte Lss Lte Pipe Add Sub Mul Div Mod Pow': t.operator,
});

const style = HighlightStyle.define([
  { tag: t.labelName, class: 'tok-label' }, { tag: t.string, class: 'tok-string' }, { tag: t.number, class: 'tok-number' },
  { tag: t.comment, class: 'tok-comment' }, { tag: t.keyword, class: 'tok-keyword' }, { tag: t.modifier, class: 'tok-keyword' },
  { tag: t.function(t.variableName), class: 'tok-function' }, { tag: t.operator, class: 'tok-operator' },
]);

const language = LRLanguage.define({ name: 'logql', parser: parser.configure({ props: [highlighting] }), languageData: { closeBrackets: { brackets: ['(', '[', '{', '"', '`'] }, commentTokens: { line: '#' } } });

export const logql = () => new LanguageSupport(language, [syntaxHighlighting(style)]);

// offsetOf turns the "line L, col C" of the server's message into an offset of the text, or -1.
export function offsetOf(text: string, message: string): number {
  const m = /line (\d+), col(?:umn)? (\d+)/.exec(message);
  if (!m) return -1;
  const lines = text.split('\n');
  const line = Math.min(Number(m[1]), lines.length) - 1;
  const before = lines.slice(0, line).reduce((n, l) => n + l.length + 1, 0);
  return Math.min(before + Number(m[2]) - 1, text.length);
}

// problems asks the server, whose messages say what was expected; the grammar here only says whether it is worth asking.
async function problems(text: string): Promise<Diagnostic[]> {
  if (text.trim() === '') return [];
  let message = '';
  try {
    await request('/loki/api/v1/format_query', { query: text });
  } catch (e) {
    if (!(e instanceof LokiError)) return [];
    message = e.message;
    try { message = JSON.parse(message).error ?? message; } catch { /* it is text already */ }
  }
  if (!message) return [];
  let from = offsetOf(text, message);
  if (from < 0) from = firstError(text)?.from ?? text.length - 1;
  from = Math.max(0, Math.min(from, text.length - 1));
  const word = /^[\w.]+/.exec(text.slice(from));
  return [{ from, to: Math.min(text.length, from + (word ? word[0].length : 1)), severity: 'error', message }];
}

export const checks = () => linter((view) => problems(view.state.doc.toString()), { delay: 400 });
