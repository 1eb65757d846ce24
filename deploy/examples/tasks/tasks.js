// Follows tasks of longshore in a browser: by WebSocket, by polling while that is cut, and back. No dependencies.

const FINAL = new Set(["Succeeded", "Failed", "NotFound"]);
const REFUSED = new Set([4401, 4403]); // no credential, or not yours: trying again would not help

/** Submit a task; resolves to {task_id, job_name, mode}. `base` is where longshore, or what stands before it, is. */
export async function submit(task, { base = "", headers = {} } = {}) {
  const response = await fetch(`${base}/api/tasks`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(task),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error([answer.detail, answer.hint].filter(Boolean).join("; "));
  return answer;
}

/**
 * Tell `onStatus` of each status of this Job until a final one, and `onMode` how it is known: "socket" or "polling".
 * `protocols`: subprotocols of the socket where no server in front adds the key, or a function that resolves to them:
 * ["longshore", "ticket.TICKET"] with a ticket of POST /v1/stream/ticket, a new one each time.
 * Returns a function that stops it.
 */
export function follow(jobName, options) {
  const { onStatus, onMode = () => {}, base = "", headers = {}, protocols = [] } = options;
  const { pollMs = 2000, retryMs = 1000, longestRetryMs = 15000 } = options;
  const name = encodeURIComponent(jobName);
  let over = false, told = null, mode = null, socket = null, polling = null, retry = null, pause = retryMs;

  function tell(document) {
    if (over || document.status === undefined) return;
    if (document.status !== told) {
      told = document.status;
      onStatus(document);
    }
    if (FINAL.has(document.status)) stop();
  }

  function setMode(next) {
    if (over || next === mode) return;
    mode = next;
    onMode(mode);
  }

  async function connect() {
    let offered = protocols;
    try {
      if (typeof protocols === "function") offered = await protocols();
    } catch {
      if (!over) later();
      return;
    }
    if (over) return;
    const url = new URL(`${base}/ws/task-status/${name}`, window.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url, offered);
    socket.onmessage = (event) => {
      clearInterval(polling);
      polling = null;
      pause = retryMs;
      setMode("socket");
      tell(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (over) return;
      if (REFUSED.has(event.code)) {
        tell({ status: "Error", message: event.reason });
        stop();
        return;
      }
      later();
    };
  }

  function later() {
    poll();
    polling ??= setInterval(poll, pollMs);
    setMode("polling");
    retry = setTimeout(connect, pause * (0.5 + Math.random() / 2));
    pause = Math.min(pause * 2, longestRetryMs);
  }

  async function poll() {
    try {
      const response = await fetch(`${base}/api/task-status?job_name=${name}`, { headers });
      tell(await response.json()); // NotFound and Error come as documents of the same shape
    } catch (error) {
      tell({ status: "Error", message: String(error) });
    }
  }

  function stop() {
    over = true;
    clearInterval(polling);
    clearTimeout(retry);
    socket?.close();
  }

  connect();
  return stop;
}
