/* A customer withdraws 30: it is taken from the account and becomes due, in one transaction. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static void run(PGconn *database, const char *sql) {
    PGresult *result = PQexec(database, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fputs(PQerrorMessage(database), stderr);
        exit(1);
    }
    PQclear(result);
}

int main(void) {
    PGconn *database = PQconnectdb(""); /* it finds PostgreSQL at PGHOST and PGPORT */
    run(database, "begin");
    run(database, "update accounts set balance = balance - 30 where name = 'ann'");
    run(database, "insert into payouts (account, amount) values ('ann', 30)");
    run(database, "notify payouts");
    run(database, "commit");
    PQfinish(database);
    return 0;
}
