#include <stdio.h>

int main(void)
{
    (void)fputs("gatehouse " GATEHOUSE_VERSION "\n", stdout);
    return 2;
}
