// Charges customers by messages: receive, process, delete, as every queue at least once wants it.
// Told "key", it charges with the number of the message as key of idempotency.
const { connect, ask, close } = require("./sql");

const once = process.argv.includes("key") ? "on conflict (message) do nothing" : "";

async function main() {
  await connect();
  for (;;) {
    const message = await ask("select id from messages order by id limit 1");
    if (message === null) break;
    await ask(`insert into charges (message) values (${message}) ${once}`);
    await ask(`delete from messages where id = ${message}`);
  }
  close();
}

main();
