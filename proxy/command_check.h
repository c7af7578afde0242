/*
 * `gatehouse check`: every fault of a configuration at once.
 */
#ifndef PROXY_COMMAND_CHECK_H
#define PROXY_COMMAND_CHECK_H

/* ARGV[0] is the verb. Gives the exit status: 0 without errors, 2 with. */
int command_check(int argc, char **argv);

#endif
