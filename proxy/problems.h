/*
 * Faults of a configuration as programs read them.
 */
#ifndef PROXY_PROBLEMS_H
#define PROXY_PROBLEMS_H

struct config_problems;
struct text;

/* An array of objects: file, line, column, severity, message, found, expected, nearest. */
void problems_json(struct text *out, const struct config_problems *problems);

#endif
