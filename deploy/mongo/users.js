// MongoDB's image runs this script once, on an empty volume.
const services = ["auth", "tickets", "orders", "payments", "mail", "payouts"];

function passwordOf(user) {
  const password = process.env[`MONGO_${user.toUpperCase()}_PASSWORD`];
  if (!password) throw new Error(`no password for ${user}`);
  return password;
}

// Each service may use the documents of its own database and of no other. It creates and drops no index, because
// indexes decide races.
for (const service of services) {
  const database = db.getSiblingDB(service);
  database.createRole({
    role: "service",
    privileges: [
      {
        resource: { db: service, collection: "" },
        actions: ["find", "insert", "update", "remove", "listCollections", "listIndexes"],
      },
    ],
    roles: [],
  });
  database.createUser({
    user: service,
    pwd: passwordOf(service),
    roles: [{ role: "service", db: service }],
  });
}

const admin = db.getSiblingDB("admin");

// The user of `ops migrate`: it may create and drop indexes, take a lease, and give listings their events. It can't
// read other documents.
const listings = [
  { resource: { db: "tickets", collection: "tickets" }, actions: ["find", "update"] },
  { resource: { db: "tickets", collection: "shows" }, actions: ["find", "insert"] },
];
admin.createRole({
  role: "migrate",
  privileges: [
    ...listings,
    ...services.flatMap((service) => [
      {
        resource: { db: service, collection: "" },
        actions: ["createCollection", "createIndex", "dropIndex", "listCollections", "listIndexes"],
      },
      {
        resource: { db: service, collection: "leases" },
        actions: ["find", "insert", "update", "remove"],
      },
      { resource: { db: service, collection: "half_restored" }, actions: ["find"] },
    ]),
  ],
  roles: [],
});
admin.createUser({
  user: "migrate",
  pwd: passwordOf("migrate"),
  roles: [{ role: "migrate", db: "admin" }],
});

// The user of `ops audit`: it may read three databases and write none.
admin.createUser({
  user: "audit",
  pwd: passwordOf("audit"),
  roles: ["orders", "payments", "payouts"].map((service) => ({ role: "read", db: service })),
});

// The user of the operator console, `ops show` and `ops stuck`: it may read all databases and write none.
admin.createUser({
  user: "console",
  pwd: passwordOf("console"),
  roles: services.map((service) => ({ role: "read", db: service })),
});
