// The page works without this: forms are sent and links are followed. Here a form is answered without a new page.
const main = () => document.querySelector("main");

async function show(request) {
  const answer = await request;
  if (!answer.ok) throw new Error(String(answer.status));
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  main().replaceWith(next.querySelector("main"));
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
