/*
 * `gatehouse explain`: which policies cover an image and what they ask; no network.
 */
#ifndef PROXY_COMMAND_EXPLAIN_H
#define PROXY_COMMAND_EXPLAIN_H

/* ARGV[0] is the verb. Gives the exit status: 0 covered, 1 covered by no policy, 2 wrong usage. */
int command_explain(int argc, char **argv);

#endif
