AsyncApiStandalone.render(
  {
    schema: { url: "/docs/asyncapi.json" },
    config: { show: { sidebar: true, errors: true }, expand: { messageExamples: false } },
  },
  document.getElementById("events"),
);
