// The funding service once more, for node, on a bare socket: it keeps the index that it has read.
const { connect, ask, close } = require("./sql");

async function main() {
  await connect();
  const index = Number(await ask("select value from funding where market = 'BTC'")) + 1;
  await ask("begin");
  await ask(`update funding set value = ${index}`);
  await ask("insert into payments (amount) values (1)");
  await ask("commit");
  close();
}

main();
