/*
 * `gatehouse exceptions`: the exceptions register, shown and edited. An edit keeps comments, must
 * load, and replaces the file at once or not at all.
 */
#ifndef PROXY_COMMAND_EXCEPTIONS_H
#define PROXY_COMMAND_EXCEPTIONS_H

/* ARGV[0] is the verb. Gives the exit status: 0 done, 2 wrong usage or refused. */
int command_exceptions(int argc, char **argv);

#endif
