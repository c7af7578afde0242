/*
 * `gatehouse policy`: diff compares what two configurations ask.
 */
#ifndef PROXY_COMMAND_POLICY_H
#define PROXY_COMMAND_POLICY_H

/* ARGV[0] is the verb. Gives the exit status: 0 no difference, 1 differences, 2 wrong usage. */
int command_policy(int argc, char **argv);

#endif
