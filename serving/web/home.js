// The page works without this: forms are sent and links are followed. Here the same is done without a new page.
const main = () => document.querySelector("main");

async function show(answer, focusId) {
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  main().replaceWith(next.querySelector("main"));
  (focusId && document.getElementById(focusId) ? document.getElementById(focusId) : main()).focus();
}

async function load(request, focusId) {
  main().setAttribute("aria-busy", "true");
  try {
    const answer = await request();
    if (!answer.ok) throw new Error(String(answer.status));
    await show(answer, focusId);
    return true;
  } catch {
    main().removeAttribute("aria-busy");
    return false;
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const data = new URLSearchParams(new FormData(form, event.submitter));
  // The same id on every try: what arrived twice counts once.
  data.set("event_id", crypto.randomUUID());
  const send = () => fetch(form.action, { method: "POST", body: data });
  for (const pause of [0, 500, 2000]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (await load(send)) return;
  }
});
