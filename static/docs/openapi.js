SwaggerUIBundle({
  url: document.getElementById("api").dataset.document,
  dom_id: "#api",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  validatorUrl: null,
});
