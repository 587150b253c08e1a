// The address says all that is on the screen, so that it can be shared and reloaded: #/page?key=value.
import { useEffect, useState } from 'preact/hooks';

export interface Place { page: string; params: URLSearchParams }

export function place(): Place {
  const [page, query] = location.hash.replace(/^#\/?/, '').split('?', 2);
  return { page: page || 'explore', params: new URLSearchParams(query ?? '') };
}

export const address = (page: string, params: Record<string, string>) => {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== '') q.set(k, v);
  const text = q.toString();
  return `#/${page}${text ? '?' + text : ''}`;
};

export function go(page: string, params: Record<string, string> = {}, replace = false) {
  const a = address(page, params);
  if (a === location.hash) return;
  if (replace) history.replaceState(null, '', a); else history.pushState(null, '', a);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function usePlace(): Place {
  const [p, set] = useState(place);
  useEffect(() => {
    const on = () => set(place());
    addEventListener('hashchange', on);
    addEventListener('popstate', on);
    return () => { removeEventListener('hashchange', on); removeEventListener('popstate', on); };
  }, []);
  return p;
}
