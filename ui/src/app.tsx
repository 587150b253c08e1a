import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { base, json, tenant } from './api';
import { Explore } from './explore/explore';
import { QueriesPage } from './pages/queries';
import { RingPage } from './pages/ring';
import { RulesPage } from './pages/rules';
import { StoragePage } from './pages/storage';
import { TenantsPage } from './pages/tenants';
import { applyTheme, loadSettings, saveSettings, type Settings } from './store';
import { usePlace, type Place } from './url';

const pages: Record<string, [string, ComponentType<{ place: Place }>]> = {
  explore: ['Explore', Explore], rules: ['Rules', RulesPage], ring: ['Ring', RingPage], tenants: ['Tenants', TenantsPage], queries: ['Queries', QueriesPage], storage: ['Storage', StoragePage],
};

const themes: Settings['theme'][] = ['', 'dark', 'light'];

export function App() {
  const place = usePlace();
  const [theme, setTheme] = useState(loadSettings().theme);
  const [version, setVersion] = useState('');
  const [org, setOrg] = useState(tenant.get());
  useEffect(() => {
    applyTheme(theme);
    const m = matchMedia('(prefers-color-scheme: dark)');
    const on = () => applyTheme(theme);
    m.addEventListener('change', on);
    return () => m.removeEventListener('change', on);
  }, [theme]);
  useEffect(() => { json<{ version: string }>('/loki/api/v1/status/buildinfo').then((b) => setVersion(b.version), () => undefined); }, []);
  useEffect(() => {
    // A slash puts the cursor into the query bar, as in other search pages.
    const on = (e: KeyboardEvent) => {
      const el = document.activeElement as HTMLElement | null;
      if (e.key !== '/' || e.ctrlKey || e.metaKey || el?.isContentEditable || /INPUT|TEXTAREA|SELECT/.test(el?.tagName ?? '')) return;
      const editor = document.querySelector<HTMLElement>('.cm-content');
      if (editor) { e.preventDefault(); editor.focus(); }
    };
    addEventListener('keydown', on);
    return () => removeEventListener('keydown', on);
  }, []);
  const turn = () => {
    const next = themes[(themes.indexOf(theme) + 1) % themes.length];
    saveSettings({ ...loadSettings(), theme: next });
    setTheme(next);
  };
  const [, Current] = pages[place.page] ?? pages.explore;
  return (
    <>
      <header>
        <a class="brand" href="#/explore" title={version && `logstore ${version}`}>logstore</a>
        <nav aria-label="Pages">{Object.entries(pages).map(([id, [title]]) => <a key={id} href={`#/${id}`} aria-current={place.page === id ? 'page' : undefined}>{title}</a>)}</nav>
        <span class="grow" />
        <form class="tenant" onSubmit={(e) => { e.preventDefault(); tenant.set(org.trim()); location.reload(); }}>
          <input aria-label="Tenant" placeholder="tenant" title="Sent as X-Scope-OrgID; empty where the store has one tenant" value={org} onInput={(e) => setOrg(e.currentTarget.value)} onBlur={() => { if (org.trim() !== tenant.get()) { tenant.set(org.trim()); location.reload(); } }} />
        </form>
        <button onClick={turn} title="Colours" aria-label={`Colours: ${theme || 'as the system'}`}>{theme === 'dark' ? '●' : theme === 'light' ? '○' : '◐'}</button>
        <a href={base + '/'} title="Pages of the process">⚙</a>
      </header>
      <Current place={place} key={place.page} />
    </>
  );
}
