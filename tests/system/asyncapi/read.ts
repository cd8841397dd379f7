// Reads events with the generated TypeScript models, and prints what the models contain.
// Standard input has one line for each event: the name of its class and its JSON.

import { readFileSync } from "node:fs";
import OrderCancelled from "./OrderCancelled";
import OrderCreated from "./OrderCreated";
import OrderUpdated from "./OrderUpdated";
import PaymentCreated from "./PaymentCreated";
import PaymentUpdated from "./PaymentUpdated";
import PayoutCreated from "./PayoutCreated";
import PayoutUpdated from "./PayoutUpdated";
import TicketCreated from "./TicketCreated";
import TicketUpdated from "./TicketUpdated";

const models = {
  OrderCancelled,
  OrderCreated,
  OrderUpdated,
  PaymentCreated,
  PaymentUpdated,
  PayoutCreated,
  PayoutUpdated,
  TicketCreated,
  TicketUpdated,
};

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const separator = line.indexOf(" ");
  const model = models[line.slice(0, separator) as keyof typeof models];
  console.log(model.unmarshal(line.slice(separator + 1)).marshal());
}
