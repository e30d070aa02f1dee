// Sends the payouts that are due: when it starts, and whenever somebody says that there are more.
import { Client } from "pg";

interface Payout {
  id: number;
  amount: number;
}

const database = new Client(); // it finds PostgreSQL at PGHOST and PGPORT
const stillDue = process.argv.includes("claim") ? "and state = 'due'" : "";

async function sendDue(): Promise<void> {
  const due = await database.query<Payout>("select id, amount from payouts where state = 'due'");
  for (const { id, amount } of due.rows) {
    await database.query("begin");
    const mark = `update payouts set state = 'sent' where id = $1 ${stillDue}`;
    if ((await database.query(mark, [id])).rowCount) {
      await database.query("insert into transfers (payout, amount) values ($1, $2)", [id, amount]);
    }
    await database.query("commit");
  }
}

async function main(): Promise<void> {
  let work = Promise.resolve();
  const look = () => (work = work.then(sendDue));
  database.on("notification", look);
  process.on("SIGTERM", () => work.then(() => database.end()));
  await database.connect();
  await database.query("listen payouts");
  await look();
}

main();
