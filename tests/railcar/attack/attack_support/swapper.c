/* Exchanges two names as fast as it can until its standard input ends; then it says how often. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct pollfd input = {0, POLLIN, 0};
    long done = 0;
    if (argc != 3)
        return 2;
    printf("READY\n");
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < 256; i++)
            done += syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2 /* RENAME_EXCHANGE */) == 0;
        if (poll(&input, 1, 0) > 0) {
            printf("%ld\n", done);
            return 0;
        }
    }
}
