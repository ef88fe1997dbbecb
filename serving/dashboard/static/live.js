// Keeps the page true: on an event the same page is fetched again and its parts take the place of the old ones.
// When that fails the page says so and from when its figures are; it never shows old figures as if they were new.

const connection = document.getElementById("connection");
const { drawCharts } = await import(connection.dataset.chart);
const words = connection.querySelector(".words");
const news = document.getElementById("news");
const period = Math.max(5, Number(connection.dataset.period)) * 1000;
const served = new Map(); // part id -> its markup as it was served

let offset = 0; // the server's clock minus this one's, in ms
let checkedAt = 0; // the server's time of the figures shown, in ms
let refreshing = null;
let again = false;
let lastRefresh = Date.now();
let opened = false;

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  for (const [size, name, small, smallName] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / small);
      return `${Math.floor(whole / size)} ${name}${rest ? ` ${rest} ${smallName}` : ""}`;
    }
  }
  return `${whole} s`;
}

const time = (at, options) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...options });

function tellTimes(root) {
  const today = new Date().toDateString();
  for (const shown of root.querySelectorAll("time[data-clock]")) {
    const at = new Date(shown.dateTime);
    const day = at.toDateString() === today ? "" : `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, `;
    shown.textContent = shown.dataset.clock === "day" ? day + time(at, { second: "2-digit" }) : day + time(at);
  }
}

function tellAges() {
  for (const shown of document.querySelectorAll("time[data-ago]")) {
    const text = `${span((Date.now() + offset - Date.parse(shown.dateTime)) / 1000)} ago`;
    if (shown.textContent !== text) shown.textContent = text;
  }
}

function say(link) {
  const isBlind = document.getElementById("state").dataset.status === "unknown";
  const state = link === "live" && isBlind ? "waiting" : link;
  const at = time(new Date(checkedAt), { second: "2-digit" });
  const text = isBlind && link !== "lost" ? "Waiting for the database" : { live: "Live", waiting: `Reconnecting. As of ${at}`, lost: `Disconnected. As of ${at}` }[state];
  document.body.dataset.connection = state;
  connection.dataset.state = state;
  if (words.textContent !== text) words.textContent = text;
}

function noteClock(state) {
  checkedAt = Date.parse(state.dataset.checkedAt);
  offset = checkedAt - Date.now();
}

function swap(old, fresh) {
  const known = new Set([...old.querySelectorAll(".decision")].map((item) => item.id));
  const open = [...old.querySelectorAll("details[open]")].map((item) => item.id);
  const focused = old.contains(document.activeElement) ? document.activeElement.closest("[id]")?.id : null;
  const part = document.importNode(fresh, true);
  old.replaceWith(part);
  for (const id of open) {
    const item = document.getElementById(id);
    if (item) item.open = true;
  }
  tellTimes(part);
  drawCharts(part);
  if (focused) {
    const item = document.getElementById(focused);
    (item?.matches("details") ? item.querySelector("summary") : item)?.focus({ preventScroll: true });
  }
  if (part.id === "decisions" && "newest" in part.dataset) tellNews(part, known);
}

function tellNews(part, known) {
  for (const item of part.querySelectorAll(".decision")) {
    if (known.has(item.id)) continue;
    item.classList.add("fresh");
    if (item.dataset.kind !== "propose") continue;
    const line = document.createElement("p");
    const step = item.querySelector(".step")?.textContent;
    line.textContent = `New decision for ${item.dataset.target}: ${step ? `${step}. ` : ""}${item.querySelector(".why").textContent}`;
    news.append(line);
    while (news.childElementCount > 5) news.firstElementChild.remove();
  }
}

function take(text) {
  const next = new DOMParser().parseFromString(text, "text/html");
  const state = next.getElementById("state");
  if (!state) throw new Error("the answer is not the page");
  const sameParts = [...document.querySelectorAll("[data-live]")].every((part) => next.getElementById(part.id));
  const noneNew = [...next.querySelectorAll("[data-live]")].every((part) => document.getElementById(part.id));
  if (!sameParts || !noneNew) {
    const main = document.importNode(next.getElementById("main"), true);
    document.getElementById("main").replaceWith(main);
    main.append(news);
    main.querySelectorAll("#news").forEach((copy) => copy !== news && copy.remove());
    remember(next);
    tellTimes(main);
    drawCharts(main);
  } else {
    for (const fresh of next.querySelectorAll("[data-live]")) {
      if (served.get(fresh.id) === fresh.outerHTML) continue;
      served.set(fresh.id, fresh.outerHTML);
      swap(document.getElementById(fresh.id), fresh);
    }
  }
  document.title = next.title;
  noteClock(state);
  tellAges();
}

function remember(root) {
  for (const part of root.querySelectorAll("[data-live]")) served.set(part.id, part.outerHTML);
}

async function fetchPage() {
  const answer = await fetch(location.href.split("#")[0], { headers: { accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (!(answer.headers.get("content-type") ?? "").startsWith("text/html")) throw new Error(`answered ${answer.status}`);
  take(await answer.text());
}

// One fetch at a time; events that arrive meanwhile cause one more.
async function refresh() {
  if (refreshing) {
    again = true;
    return;
  }
  lastRefresh = Date.now();
  refreshing = fetchPage();
  try {
    await refreshing;
    say(stream.readyState === EventSource.OPEN ? "live" : "waiting");
  } catch {
    say("lost");
  }
  refreshing = null;
  if (again) {
    again = false;
    setTimeout(refresh, 250);
  }
}

let stream;
function connect() {
  stream = new EventSource(connection.dataset.stream);
  stream.addEventListener("open", () => {
    if (opened) refresh();
    else say("live");
    opened = true;
  });
  stream.addEventListener("error", () => {
    say("waiting");
    refresh();
    // The browser gives up when it is answered with an error; then try again from here.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
  for (const name of ["decision", "forecast", "heartbeat", "database", "resync"]) stream.addEventListener(name, refresh);
}

remember(document);
noteClock(document.getElementById("state"));
tellTimes(document);
drawCharts(document);
tellAges();
setInterval(tellAges, 1000);
// Silence is no news: ask now and then, so that a loop that went quiet is seen to be quiet.
setInterval(() => Date.now() - lastRefresh > period * 1.5 && refresh(), 2000);
addEventListener("pageshow", (event) => event.persisted && refresh());
addEventListener("pagehide", () => stream.close());
connect();
