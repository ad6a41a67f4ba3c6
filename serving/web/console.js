// Everything works without this: where something is at work, the page is looked at again by itself.
if (document.querySelector("[data-wait]")) setTimeout(() => location.reload(), 1500);
