/*
 * `gatehouse audit`: checks and searches audit logs. `gatehouse why`: shows one decision out of
 * one. Both read files alone, so they work beside a running gateway and on copies.
 */
#ifndef PROXY_COMMAND_AUDIT_H
#define PROXY_COMMAND_AUDIT_H

/* ARGV[0] is the verb. Gives the exit status: 0 good, 1 the log is not what was written (verify),
 * or nothing was found (query, why), 2 wrong usage. */
int command_audit(int argc, char **argv);
int command_why(int argc, char **argv);

#endif
