/* cut FOLDER FLAGS: stops the file system that a folder lies on, at once, as a power cut does (EXT4_IOC_SHUTDOWN of
   linux/fs/ext4/ext4.h). FLAGS: 0 all data are written first, 1 the journal is, 2 nothing is. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)

int main(int argc, char **argv) {
    uint32_t flags = argc == 3 ? atoi(argv[2]) : 2;
    int folder = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    if (folder < 0 || ioctl(folder, EXT4_IOC_SHUTDOWN, &flags) != 0) {
        perror("cut");
        return 1;
    }
    return 0;
}
