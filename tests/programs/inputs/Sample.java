// Threads, direct buffers and zlib: the parts of a Java program whose memory comes from malloc.

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.Adler32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Sample {
  static long work(int seed) throws Exception {
    Adler32 sum = new Adler32();
    for (int round = 0; round < 60; round++) {
      byte[] plain = new byte[20000 + seed * 1000 + round * 37];
      for (int i = 0; i < plain.length; i++) plain[i] = (byte) (i * seed % (round + 3));
      Deflater deflater = new Deflater(1 + round % 9);
      deflater.setInput(plain);
      deflater.finish();
      byte[] packed = new byte[plain.length + 100];
      int length = deflater.deflate(packed);
      deflater.end();
      Inflater inflater = new Inflater();
      inflater.setInput(packed, 0, length);
      byte[] again = new byte[plain.length];
      if (inflater.inflate(again) != plain.length) throw new Exception("inflate");
      inflater.end();
      ByteBuffer direct = ByteBuffer.allocateDirect(again.length);
      direct.put(again);
      direct.flip();
      sum.update(direct);
    }
    return sum.getValue();
  }

  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<Long>> futures = new ArrayList<>();
    for (int seed = 1; seed <= 8; seed++) {
      final int own = seed;
      futures.add(pool.submit(() -> work(own)));
    }
    StringBuilder text = new StringBuilder();
    for (Future<Long> future : futures) text.append(future.get()).append(' ');
    pool.shutdown();
    Process child = new ProcessBuilder("echo", "child").start();
    text.append(new String(child.getInputStream().readAllBytes()).trim()).append(child.waitFor());
    System.out.println(text);
  }
}
