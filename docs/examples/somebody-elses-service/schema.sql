create table accounts (name text primary key, balance int not null);
create table payouts (id serial primary key, account text not null, amount int not null,
                      state text not null default 'due');
create table transfers (id serial primary key, payout int not null, amount int not null);
insert into accounts values ('ann', 40);
