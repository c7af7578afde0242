/*
 * `gatehouse trust status|update`: what the configuration trusts, until when; refresh now.
 */
#ifndef PROXY_COMMAND_TRUST_H
#define PROXY_COMMAND_TRUST_H

/* Gives the exit status. */
int command_trust(int argc, char **argv);

#endif
