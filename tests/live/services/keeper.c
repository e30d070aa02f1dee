/* The funding service once more, in C: it keeps the index that it has read in the beginning. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static void ask(PGconn *link, const char *sql) {
    PGresult *result = PQexec(link, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fprintf(stderr, "%s", PQerrorMessage(link));
        exit(1);
    }
    PQclear(result);
}

int main(void) {
    PGconn *link = PQconnectdb("");
    if (PQstatus(link) != CONNECTION_OK) {
        fprintf(stderr, "%s", PQerrorMessage(link));
        return 1;
    }
    PGresult *result = PQexecParams(link, "select value from funding where market = 'BTC'",
                                    0, NULL, NULL, NULL, NULL, 0);
    int index = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    char update[100];
    snprintf(update, sizeof update, "update funding set value = %d", index + 1);
    ask(link, "begin");
    ask(link, update);
    ask(link, "insert into payments (amount) values (1)");
    ask(link, "commit");
    PQfinish(link);
    return 0;
}
