/*
 * `gatehouse tuf`: a TUF client on the command line, as the conformance suite for TUF clients
 * drives it. Options come before the verb.
 *
 *     gatehouse tuf --metadata-dir DIR init TRUSTED_ROOT
 *     gatehouse tuf --metadata-url URL --metadata-dir DIR refresh
 *     gatehouse tuf --metadata-url URL --metadata-dir DIR --target-name PATH… --target-dir DIR
 *                   --target-base-url URL download
 */
#ifndef PROXY_TUF_COMMAND_H
#define PROXY_TUF_COMMAND_H

/* argv[0] is "tuf". Returns the exit status: 0, 1 for what was refused, 2 for wrong usage. */
int tuf_command_main(int argc, char **argv);

#endif
