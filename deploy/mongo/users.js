// Run once by the image, on an empty volume: each service may use its own database and no other.
for (const service of ["auth", "tickets", "orders", "payments"]) {
  const password = process.env[`MONGO_${service.toUpperCase()}_PASSWORD`];
  if (!password) throw new Error(`no password for ${service}`);
  db.getSiblingDB(service).createUser({
    user: service,
    pwd: password,
    roles: [{ role: "readWrite", db: service }],
  });
}

// Operators compare the books with it: it reads two databases and writes none.
const password = process.env.MONGO_BOOKS_PASSWORD;
if (!password) throw new Error("no password for books");
db.getSiblingDB("admin").createUser({
  user: "books",
  pwd: password,
  roles: ["orders", "payments"].map((service) => ({ role: "read", db: service })),
});
