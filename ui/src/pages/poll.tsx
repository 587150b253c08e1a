import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';

// usePoll loads at once and then every few seconds while the page is in sight. again loads now.
export function usePoll<T>(load: (signal: AbortSignal) => Promise<T>, everyMs: number, deps: unknown[] = []) {
  const [state, set] = useState<{ data?: T; error?: string }>({});
  const [turn, again] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    const once = () => {
      if (document.hidden) return;
      load(stop.signal).then((data) => set({ data }), (e) => { if (!stop.signal.aborted) set((s) => ({ ...s, error: String(e.message ?? e) })); });
    };
    once();
    const timer = setInterval(once, everyMs);
    return () => { stop.abort(); clearInterval(timer); };
  }, [turn, ...deps]);
  return { ...state, again: () => again((n) => n + 1) };
}

export function Page({ title, error, children }: { title: string; error?: string; children: ComponentChildren }) {
  return (
    <main class="page">
      <h2>{title}</h2>
      {error && <p class="error" role="alert">{error}</p>}
      {children}
    </main>
  );
}
