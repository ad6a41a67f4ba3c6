// The page works without this: forms are sent and links are followed. Here a form is answered without a new page.
const main = () => document.querySelector("main");

async function show(request) {
  const answer = await request;
  if (!answer.ok) throw new Error(String(answer.status));
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  tell();
  main().replaceWith(next.querySelector("main"));
  look();
  // What is focused is read out.
  (main().querySelector(".notice") ?? main()).focus();
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  // The same id on every try: what arrives twice counts once.
  body.set("event_id", crypto.randomUUID());
  main().setAttribute("aria-busy", "true");
  for (const pause of [0, 500, 2000]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      return await show(fetch(form.action, { method: "POST", body }));
    } catch (error) {
      console.warn(error);
    }
  }
  main().removeAttribute("aria-busy");
});

// The reasons of a card are put into it; where that fails, the link leads to them.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a.ask");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(String(answer.status));
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const reasons = next.querySelector(".reasons");
    reasons.tabIndex = -1;
    link.closest("li").querySelector(".reasons")?.remove();
    link.parentElement.after(reasons);
    reasons.focus();
  } catch {
    location.assign(link.href);
  }
});

// A card is seen when at least half of it was visible for a second; each is told once.
const timers = new Map();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, intersectionRatio } of entries) {
      clearTimeout(timers.get(target));
      if (intersectionRatio >= 0.5) timers.set(target, setTimeout(() => see(target), 1000));
    }
  },
  { threshold: 0.5 },
);
const seen = new Set();

function look() {
  watcher.disconnect();
  timers.forEach(clearTimeout);
  for (const card of document.querySelectorAll("li[data-item]")) watcher.observe(card);
}

function see(card) {
  watcher.unobserve(card);
  seen.add(card.dataset.item);
  if (seen.size === 1) setTimeout(tell, 3000);
}

function tell() {
  if (!seen.size) return;
  const body = new URLSearchParams(new FormData(document.querySelector("main form")));
  for (const item of seen) body.append("item", item);
  // What could not be sent is tried again with the next: the server knows what it has.
  if (navigator.sendBeacon("/seen", body)) seen.clear();
}

document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && tell());
look();
