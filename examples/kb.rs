fn main(){wcodec::kernel_bench()}
