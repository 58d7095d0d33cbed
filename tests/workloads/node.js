// Reads DATABASE_URL and nothing else, as node-postgres applications do. Prints one JSON line for each answer.
const { Pool } = require("pg");

const say = (name, value) => console.log(JSON.stringify({ [name]: value }));

async function main() {
  const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
  say("who", (await pool.query("select session_user as who, current_database() as database")).rows[0]);
  // Parameters, a named statement, and many at once: each answer has to be that of its question.
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  const answers = await Promise.all(
    numbers.map((i) => pool.query({ name: `plus-${i % 3}`, text: `select $1::int + ${i % 3} as n`, values: [i] })),
  );
  say("sum", answers.reduce((sum, answer) => sum + answer.rows[0].n, 0));
  say("wrong", numbers.filter((i) => answers[i].rows[0].n !== i + (i % 3)).length);
  const error = await pool.query("select 1/0").catch((e) => e);
  say("error", error.code);
  const client = await pool.connect();
  await client.query("begin");
  await client.query("create temporary table t (n int) on commit drop");
  await client.query("insert into t select generate_series(1, 1000)");
  say("rows", (await client.query("select n from t order by n")).rows.length);
  await client.query("rollback");
  client.release();
  await pool.end();
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
