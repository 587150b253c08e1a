import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { bracketMatching } from '@codemirror/language';
import { EditorState } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { useEffect, useRef } from 'preact/hooks';
import { checks, logql } from './language';
import { completion, type Scope } from './complete';

// value is what the address says; turn changes when it is to be shown again. What is typed stays here and is reported.
interface Props { value: string; turn: string; onChange: (text: string) => void; onRun: () => void; scope: () => Scope }

// Editor is the query bar. Enter and Ctrl-Enter run the query, Shift-Enter starts a line.
export function Editor(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const run = () => { latest.current.onRun(); return true; };
    view.current = new EditorView({
      parent: host.current!,
      state: EditorState.create({
        doc: props.value,
        extensions: [
          keymap.of([{ key: 'Mod-Enter', run }]),
          closeBrackets(), bracketMatching(), history(),
          autocompletion({ override: [completion(() => latest.current.scope())], icons: false }),
          keymap.of([...closeBracketsKeymap, ...completionKeymap, { key: 'Tab', run: acceptCompletion }, { key: 'Enter', run, shift: () => false }, ...defaultKeymap, ...historyKeymap]),
          logql(), checks(), EditorView.lineWrapping,
          placeholder('{app="api"} |= "error"      Ctrl-Space completes, Enter runs'),
          EditorView.contentAttributes.of({ 'aria-label': 'LogQL query', spellcheck: 'false', autocapitalize: 'off' }),
          EditorView.updateListener.of((u) => { if (u.docChanged) latest.current.onChange(u.state.doc.toString()); }),
        ],
      }),
    });
    return () => view.current?.destroy();
  }, []);

  useEffect(() => {
    const v = view.current;
    if (v && v.state.doc.toString() !== props.value) v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: props.value } });
  }, [props.value, props.turn]);

  return <div class="editor" ref={host} />;
}
