import { json, LokiError, request } from '../api';
import { ago, bytes, seconds } from '../time';
import { address } from '../url';
import { Page, usePoll } from './poll';

interface Running { id: string; tenant?: string; query: string; started?: string; duration?: number; source?: string; bytes?: number; member?: string; state?: string }

// QueriesPage lists what runs at this moment, with a way to stop it.
export function QueriesPage() {
  const { data, error, again } = usePoll(async (s) => {
    try {
      return (await json<{ queries?: Running[] }>('/logstore/api/v1/queries', {}, s)).queries ?? [];
    } catch (e) {
      if (e instanceof LokiError && e.status === 404) return [];
      throw e;
    }
  }, 2000);
  const stop = async (id: string) => { await request(`/logstore/api/v1/queries/${encodeURIComponent(id)}`, {}, { method: 'DELETE' }).catch(() => undefined); again(); };
  return (
    <Page title="Running queries" error={error}>
      {data?.length === 0 && <p class="empty">No query runs at this moment.</p>}
      {!!data?.length && (
        <div class="scroll"><table>
          <thead><tr><th>Query</th><th>Tenant</th><th>Source</th><th>Started</th><th class="num">Runs for</th><th class="num">Read</th><th /></tr></thead>
          <tbody>
            {data.map((q) => (
              <tr key={q.id}>
                <td><a href={address('explore', { q: q.query })}><code>{q.query}</code></a></td><td>{q.tenant}</td><td>{q.source}</td><td>{q.started && ago(q.started)}</td>
                <td class="num">{seconds(q.duration ?? 0)}</td><td class="num">{q.bytes === undefined ? '' : bytes(q.bytes)}</td><td><button onClick={() => stop(q.id)}>Stop</button></td>
              </tr>
            ))}
          </tbody>
        </table></div>
      )}
    </Page>
  );
}
