/*
 * `gatehouse policy import`: policies of other tools as configuration.
 *
 * Threads: the process's only one.
 */
#ifndef PROXY_COMMAND_IMPORT_H
#define PROXY_COMMAND_IMPORT_H

/* ARGV[0] is "policy", ARGV[1] "import". Gives the exit status: 0 imported, 2 refused. */
int command_import(int argc, char **argv);

#endif
