"""Stop the node again and again while frames arrive; prints exit code and seconds of each stop.

python test/helpers/stops.py COUNT LOG
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

STEP_S = 0.02
NODE = [sys.executable, str(Path(__file__).with_name('flow_node.py'))]


def publish() -> None:
    """Publish images and calibrations until the parent is gone."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from scenes import camera_info_msg, image_msg, picture
    from sensor_msgs.msg import CameraInfo, Image

    parent = os.getppid()
    rclpy.init(args=[])
    node = rclpy.create_node('camera')
    images = node.create_publisher(Image, '/image', qos_profile_sensor_data)
    infos = node.create_publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
    pictures = [picture(index) for index in range(20)]
    for index in range(1_000_000):
        if os.getppid() != parent:
            break
        stamp_ns = time.time_ns()
        infos.publish(camera_info_msg(stamp_ns))
        images.publish(image_msg(pictures[index % len(pictures)], stamp_ns))
        time.sleep(STEP_S)


def wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the node says something; False where it has ended before."""
    while text not in log.read_text():
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    return True


def main() -> int:
    """Stop the node so many times."""
    count, log = int(sys.argv[1]), Path(sys.argv[2])
    chance = random.Random(0)
    camera = subprocess.Popen([sys.executable, __file__, '--camera'])
    for number in range(count):
        with log.open('w') as stream:
            node = subprocess.Popen([*NODE, '--ros-args'], stdout=stream, stderr=stream)
        # Now and then while it still starts.
        wait_for(log, '-> inactive' if number % 5 == 4 else '-> active', node)
        time.sleep(chance.uniform(0.0, 0.7))
        node.send_signal(signal.SIGTERM if number % 4 == 3 else signal.SIGINT)
        start = time.monotonic()
        code = node.wait()
        print(json.dumps({'code': code, 's': time.monotonic() - start}), flush=True)
        if code:
            print(log.read_text(), file=sys.stderr, flush=True)
    camera.kill()
    return 0


if __name__ == '__main__':
    if '--camera' in sys.argv:
        publish()
    else:
        sys.exit(main())
