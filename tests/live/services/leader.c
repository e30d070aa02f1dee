/* Whoever leads gives every node a block of addresses, and counts the blocks in its memory.

   Told "fence", it asks in the transaction of every write whether it still leads. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGconn *link_;

/* The rows of a query; it must not fail. */
static PGresult *ask(const char *sql) {
    PGresult *result = PQexec(link_, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fputs(PQerrorMessage(link_), stderr);
        exit(1);
    }
    return result;
}

static int number(const char *sql) {
    PGresult *result = ask(sql);
    int value = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return value;
}

int main(int count, char **words) {
    int fenced = count > 1 && !strcmp(words[1], "fence");
    char sql[200];
    link_ = PQconnectdb("");
    int epoch = number("update lease set epoch = epoch + 1 returning epoch");
    int block = number("select coalesce(max(block), 0) from nodes");
    PGresult *nodes = ask("select name from nodes where block is null order by name");
    for (int at = 0; at < PQntuples(nodes); at++) {
        if (fenced) {
            PQclear(ask("begin"));
            snprintf(sql, sizeof sql, "select 1 from lease where epoch = %d for share", epoch);
            PGresult *leads = ask(sql);
            if (!PQntuples(leads)) return 0; /* somebody else does */
            PQclear(leads);
        }
        snprintf(sql, sizeof sql, "update nodes set block = %d where name = '%s'", ++block,
                 PQgetvalue(nodes, at, 0));
        PQclear(ask(sql));
        if (fenced) PQclear(ask("commit"));
    }
    PQclear(nodes);
    PQfinish(link_);
    return 0;
}
