// MongoDB's image runs this script once, on an empty volume. Each service may use its own database and no other.
for (const service of ["auth", "tickets", "orders", "payments"]) {
  const password = process.env[`MONGO_${service.toUpperCase()}_PASSWORD`];
  if (!password) throw new Error(`no password for ${service}`);
  db.getSiblingDB(service).createUser({
    user: service,
    pwd: password,
    roles: [{ role: "readWrite", db: service }],
  });
}

// The user of `ops audit`: it may read two databases and write none.
const password = process.env.MONGO_AUDIT_PASSWORD;
if (!password) throw new Error("no password for audit");
db.getSiblingDB("admin").createUser({
  user: "audit",
  pwd: password,
  roles: ["orders", "payments"].map((service) => ({ role: "read", db: service })),
});
