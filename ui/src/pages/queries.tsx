import { json, LokiError, request } from '../api';
import { local, seconds } from '../time';
import { address } from '../url';
import { Page, usePoll } from './poll';

interface Running { id: string; tenant: string; query: string; type: string; start: string; end: string; since: string; source?: string; queued: boolean }

// span says which time a query asks for.
const span = (q: Running) => (q.start === q.end ? `at ${local(Date.parse(q.end))}` : `${local(Date.parse(q.start))} to ${local(Date.parse(q.end))}`);

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
          <thead><tr><th /><th>Query</th><th>Tenant</th><th>Source</th><th class="num">Runs for</th><th>Asks for</th></tr></thead>
          <tbody>
            {data.map((q) => (
              <tr key={q.id}>
                <td><button onClick={() => stop(q.id)}>Stop</button></td>
                <td><a href={address('explore', { q: q.query })}><code>{q.query}</code></a></td><td>{q.tenant}</td><td>{q.source}</td>
                <td class="num">{seconds(Math.max(0, (Date.now() - Date.parse(q.since)) / 1e3))}{q.queued && ', waits'}</td><td class="span">{span(q)}</td>
              </tr>
            ))}
          </tbody>
        </table></div>
      )}
    </Page>
  );
}
