/*
 * `gatehouse replay`: a proposed configuration against recorded decisions.
 */
#ifndef PROXY_COMMAND_REPLAY_H
#define PROXY_COMMAND_REPLAY_H

/* Gives the exit status. */
int command_replay(int argc, char **argv);

#endif
