// What stays in the browser between visits: history of queries, view settings and the colour scheme.

function read<T>(key: string, fallback: T): T {
  try { return { ...fallback, ...JSON.parse(localStorage.getItem(key) ?? '') }; } catch { return fallback; }
}

export interface Settings { wrap: boolean; time: boolean; columns: string[]; theme: '' | 'dark' | 'light' }
const settingsKey = 'logstore.settings';
export const loadSettings = (): Settings => read(settingsKey, { wrap: false, time: true, columns: [], theme: '' });
export const saveSettings = (s: Settings) => localStorage.setItem(settingsKey, JSON.stringify(s));

export interface Past { query: string; at: number }
const historyKey = 'logstore.history';
export const loadHistory = (): Past[] => {
  try { return JSON.parse(localStorage.getItem(historyKey) ?? '[]'); } catch { return []; }
};
export function remember(query: string) {
  const rest = loadHistory().filter((p) => p.query !== query);
  localStorage.setItem(historyKey, JSON.stringify([{ query, at: Date.now() }, ...rest].slice(0, 50)));
}
export const forgetHistory = () => localStorage.removeItem(historyKey);

export function applyTheme(theme: Settings['theme']) {
  const dark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
}
